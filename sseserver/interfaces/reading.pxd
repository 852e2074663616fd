cimport cython


@cython.freelist(64)
cdef class Reading:
    cdef public Py_ssize_t cursor
    cdef public bytes data


@cython.locals(reading=Reading)
cpdef Reading makeReading(Py_ssize_t cursor, bytes data)
