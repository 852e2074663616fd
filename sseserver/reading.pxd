cimport cython


@cython.freelist(64)
cdef class Reading:
    cdef public Py_ssize_t cursor
    cdef public bytes data
