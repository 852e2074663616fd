from sseserver.delivery.response cimport ResponseProducer


cdef class ReadingProducer(ResponseProducer):
    cdef object _rest
    cdef Py_ssize_t _many
    # Each token touches it, and the fields of the subclass that follow.
    cdef public Py_ssize_t cursor
