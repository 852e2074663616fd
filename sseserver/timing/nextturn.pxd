cimport cython

from sseserver.timing.ticker cimport Tick
from sseserver.timing.turnend cimport TurnEnd


cdef class NextTurn:
    cdef object _call
    cdef object _clock
    cdef Py_ssize_t _number
    cdef dict _ticks
    cdef TurnEnd _turnEnd
    cdef bint _waits
    cdef bint _walks

    cpdef put(self, Tick tick)
    @cython.locals(slot=Py_ssize_t)
    cpdef cancel(self, Tick tick)
    cpdef _fire(self)
    @cython.locals(ticks=dict, number=Py_ssize_t, tick=Tick)
    cdef _walk(self)
