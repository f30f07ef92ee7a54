"""scikit-learn's own callbacks (``sklearn.callback``, from version 1.9 on), where the installed version has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import sklearn

from chainrule.errors import TrainingError
from chainrule.learn import Report
from chainrule.learn.fitting import Job

Method = TypeVar("Method", bound=Callable[..., Any])

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin
    from sklearn.callback import with_callbacks as _managed
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]  # where there is none to import
        """What stands in for scikit-learn's class of this name in a version that has none."""

        def set_callbacks(self, *callbacks: Any) -> Any:
            """Refuse: this version of scikit-learn has no callbacks."""
            raise TrainingError(
                f"scikit-learn {sklearn.__version__} has no callbacks; they come with version 1.9. "
                "verbose=1 shows the progress of a training with any version"
            )

    def _managed(method: Any) -> Any:
        return method


def with_callbacks(method: Method) -> Method:
    """Return a ``fit`` at whose end, good or bad, scikit-learn's callbacks are torn down."""
    managed: Method = _managed(method)
    return managed


class Hooks:
    """The calls that scikit-learn's callbacks get: at the start and end of ``fit``, and of each epoch.

    A callback that returns True at the end of an epoch ends the training there. Where there are none, nothing is
    called, and the training is not cut into epochs.
    """

    def __init__(self, estimator: Any, epochs: int, data: dict[str, Any]) -> None:
        self.estimator = estimator
        self.data = data
        self.context: Any = None
        if hasattr(estimator, "_init_callback_context"):
            self.context = estimator._init_callback_context(max_subtasks=epochs)
            self.context.call_on_fit_task_begin(estimator=estimator, **data)

    @property
    def wanted(self) -> bool:
        """Is anybody listening?"""
        return self.context is not None and bool(getattr(self.estimator, "_skl_callbacks", ()))

    def drive(self, job: Job, report: Callable[[Report], None], fitted: Callable[[], dict[str, Any]]) -> None:
        """Advance a job epoch by epoch; ``fitted`` gives the attributes of an estimator that would stop there."""
        while job.loop.status == "running":
            epoch = self.context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data)
            until = (job.loop.epoch + 1) * job.steps_per_epoch
            job.advance(until=until)
            report(job.report())
            stop = epoch.call_on_fit_task_end(estimator=self.estimator, **self.data, reconstruction_attributes=fitted)
            if stop and job.loop.status == "running":
                job.loop.status = "interrupted"

    def end(self, attributes: Callable[[], dict[str, Any]]) -> None:
        """Say that ``fit`` is done."""
        if self.context is not None:
            self.context.call_on_fit_task_end(
                estimator=self.estimator, **self.data, reconstruction_attributes=attributes
            )
