"""What a computation is: types, nodes, graphs, and the passes over them."""

from chainrule.graph.check import check_graph
from chainrule.graph.digest import Undigestible, digest
from chainrule.graph.graph import Graph, depends_on, inline, substitute, topological
from chainrule.graph.leaks import refuse_free, refuse_leaked_arguments, refuse_leaks
from chainrule.graph.make import as_array, make_graph, type_of_value
from chainrule.graph.node import Backward, Node, Operation, Place, result_types, where_made
from chainrule.graph.simplify import simplify
from chainrule.graph.structural import make_constant, make_input, take_result
from chainrule.graph.tree import LEAF, Structure, flatten, leaf_names, tree_map, unflatten
from chainrule.graph.types import Dim, Rows, Shape, Type, n, type_of

__all__ = [
    "LEAF",
    "Backward",
    "Dim",
    "Graph",
    "Node",
    "Operation",
    "Place",
    "Rows",
    "Shape",
    "Structure",
    "Type",
    "Undigestible",
    "as_array",
    "check_graph",
    "depends_on",
    "digest",
    "flatten",
    "inline",
    "leaf_names",
    "make_constant",
    "make_graph",
    "make_input",
    "n",
    "refuse_free",
    "refuse_leaked_arguments",
    "refuse_leaks",
    "result_types",
    "simplify",
    "substitute",
    "take_result",
    "topological",
    "tree_map",
    "type_of",
    "type_of_value",
    "unflatten",
    "where_made",
]
