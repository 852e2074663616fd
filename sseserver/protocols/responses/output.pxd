cdef class GrowingText:
    cdef bytearray _data
    cdef Py_ssize_t _size

    cpdef add(self, bytes text)


cdef class OutputPart:
    cdef public object type
    cdef public GrowingText text
    cdef public list annotations


cdef class OutputItem:
    cdef public object type
    cdef public object id
    cdef public Py_ssize_t index
    cdef public object callID
    cdef public object name
    cdef public list parts
    cdef public object status


cdef class Output:
    cdef dict _data
    cdef object _name
    cdef public list items
