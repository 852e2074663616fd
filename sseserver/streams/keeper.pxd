cdef class Keeper:
    cdef public Py_ssize_t used
