cdef class PackedSegments:
    cdef public bytearray data
    cdef public object ends
    cdef public bytearray kinds
