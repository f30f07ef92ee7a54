"""Graphs and whole training programs as machine code for this machine's CPU, by LLVM.

layout.py says where values live and schedule.py which nodes form one loop nest; frame.py, nests.py, reductions.py and
matmul.py write the loops, vector.py and mathlib.py what stands in them, compile.py and program.py whole functions;
engine.py makes them run.
"""

from chainrule.execute.native.engine import missing
from chainrule.execute.native.executor import Native
from chainrule.execute.native.function import NativeFunction

__all__ = ["Native", "NativeFunction", "missing"]
