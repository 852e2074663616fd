from sseserver.streams.account cimport Account


cdef class Keeper:
    cdef public Account published
    cdef public Account runs
    cdef public bint durable

    cpdef write(self, streamLog)
