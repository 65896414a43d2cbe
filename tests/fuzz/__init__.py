"""Damaged and hostile input at every door: ``make fuzz``, or ``python -m tests.fuzz --help``.

A door is a module of this folder with a function ``case(rng, folder)``: it makes one input in the empty ``folder``, all
of it drawn from ``rng``, and gives it to the package. It may return, or raise InputError or MissingPackage with a
message of one or two lines; anything else is a finding, and so are a signal, an exit, a hang, memory beyond a bound,
and what it reports itself by an AssertionError: a file half-written, or one outside of its folder.
A finding becomes a test in the room that it belongs to.
"""
