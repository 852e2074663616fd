cdef class Place:
    cdef public Py_ssize_t at
    cdef public Py_ssize_t count
    cdef public object translator
    cdef public bint hasBegun
    cdef public list waiting
