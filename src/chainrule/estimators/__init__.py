"""The scikit-learn face over workflow's parts: NetworkClassifier and NetworkRegressor.

scikit-learn is needed here and nowhere else, and so is an extra of the package: ``pip install 'chainrule[sklearn]'``.
"""

try:
    import sklearn as _sklearn  # noqa: F401  # looked for first, so that its absence is said in words
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "NetworkClassifier and NetworkRegressor are estimators of scikit-learn, which is not installed: "
        "pip install 'chainrule[sklearn]'. cr.fit and cr.workflow.train do without it",
        name=error.name,
    ) from None

from chainrule.estimators.classifier import NetworkClassifier
from chainrule.estimators.cross_validated import NetworkClassifierCV, NetworkRegressorCV
from chainrule.estimators.regressor import NetworkRegressor

__all__ = ["NetworkClassifier", "NetworkClassifierCV", "NetworkRegressor", "NetworkRegressorCV"]
