cdef class Account:
    cdef public Py_ssize_t count
    cdef public Py_ssize_t used
