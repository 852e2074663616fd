cdef class Tail:
    # What each token touches stands together.
    cdef public Py_ssize_t first
    cdef Py_ssize_t _base
    cdef bytearray _data
    cdef object _ends
    cdef public bytearray kinds
    cdef public bint trimmedCR
    cdef Py_ssize_t _tokensBefore

    cpdef bytes entry(self, Py_ssize_t number)
    cpdef bytes span(self, Py_ssize_t first, Py_ssize_t last)
    cdef Py_ssize_t _start(self, Py_ssize_t number) except? -1
    cpdef add(self, int kind, bytes data)
