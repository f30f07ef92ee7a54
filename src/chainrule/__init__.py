"""chainrule: learning with neural networks, on one graph that is run, differentiated, compiled and explained."""

__version__ = "0.1.0"
