cimport cython

from sseserver.timing.turnend cimport TurnEnd


cdef double _UP
cdef Py_ssize_t _IDLE
cdef Py_ssize_t _FIRING


cdef class Tick:
    cdef public Py_ssize_t slot

    cpdef fire(self, double now)
    cpdef cancelled(self)


cdef class _Call(Tick):
    cdef object _function


cdef class Ticker:
    cdef public object clock
    cdef public object seconds
    cdef public object wall
    cdef object _real
    cdef double _paused
    cdef double _expected
    cdef bint _canBeLate
    cdef public double late
    cdef double _granularity
    cdef bint _lazy
    cdef double _origin
    cdef dict _slots
    cdef list _heap
    cdef Py_ssize_t _count
    cdef Py_ssize_t _present
    cdef dict _walking
    cdef object _next
    cdef double _patientUntil
    cdef object _loop
    cdef public TurnEnd turnEnd

    cpdef Tick at(self, double due, call)
    cpdef put(self, Tick tick, double due)
    cpdef cancel(self, Tick tick)
    cpdef stop(self)
    cpdef setLazy(self, bint lazy)
    @cython.locals(now=double, late=double, pause=double)
    cpdef double _countActive(self)
    cdef _expectTurn(self, double now)
    cdef _stopIfIdle(self)
    @cython.locals(slot=Py_ssize_t, slots=double, ticks=dict)
    cdef _put(self, Tick tick, double due)
    @cython.locals(now=double, real=double, late=double)
    cpdef _turn(self)
    cpdef _goOn(self)
    cdef _makeCalls(self, double now)
    @cython.locals(slot=Py_ssize_t, tick=Tick, room=Py_ssize_t, ticks=dict, until=double, real=double)
    cdef _walk(self, double now)
    cdef bint _isAsked(self) except -1
    @cython.locals(tick=Tick, ticks=dict)
    cdef _interrupt(self, Py_ssize_t slot)
