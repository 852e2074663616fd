from sseserver.delivery.stall cimport StallWatch
from sseserver.steps cimport findNext


cdef class ResponseProducer:
    # The fields that each token touches stand first.
    cdef object _state
    cdef object _body

    cdef public str reason
    cdef public object request
    cdef object _delivery
    cdef Py_ssize_t _counted
    cdef StallWatch _watch

    cpdef count(self)
    cdef _stopWaiting(self, object before)
