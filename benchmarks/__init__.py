"""Our own speed, tracked by asv: `make bench`. One file a subject.

Everything is timed on one thread, in processes of its own and in CPU time, which a busy machine
lengthens least. Heavy imports stand inside functions: asv imports every file just to learn what
there is. `version` names a benchmark's question, so that rewriting its code keeps the curve; raise
it by hand when the question changes. Nothing is timed before it is known to be right.
"""
