"""Graphs and whole training programs as machine code for this machine's CPU, by LLVM.

layout.py says where values live, schedule.py which nodes form one loop nest, and overwrite.py what takes whose place;
frame.py, nests.py, reductions.py and matmul.py write the loops, vector.py and elementary.py what stands in them,
compile.py and program.py whole functions, and straight.py and tiny.py those without a loop; link.py and engine.py make
them run, function.py and state.py call them.
"""

from chainrule.execute.native.engine import missing
from chainrule.execute.native.executor import Native
from chainrule.execute.native.function import NativeFunction

__all__ = ["Native", "NativeFunction", "missing"]
