cdef class Account:
    cdef public Py_ssize_t count
    cdef public Py_ssize_t open
    cdef public Py_ssize_t used
    cdef public Py_ssize_t done
    cdef public Py_ssize_t failed
    cdef public Py_ssize_t cancelled
