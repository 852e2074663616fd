cimport cython

from sseserver.streams.segments cimport PackedSegments


cdef Py_ssize_t _COST
cdef Py_ssize_t _LOOSE
cdef Py_ssize_t _LARGE


# Its members are bytes and lists of bytes, which form no cycles; and there is one for each stream that is kept.
@cython.no_gc
cdef class EntryBuffer:
    # Members that each token touches stand together.
    cdef public Py_ssize_t first
    cdef public Py_ssize_t size
    cdef list _loose
    cdef int _looseKind
    cdef Py_ssize_t _packed
    cdef Py_ssize_t _base

    cdef bytearray _data
    cdef bytearray _kinds
    cdef object _ends
    cdef public bint trimmedCR
    cdef public Py_ssize_t tokensBefore

    cpdef int kind(self, Py_ssize_t number) except -1
    cpdef bytes entry(self, Py_ssize_t number)
    cpdef bytes span(self, Py_ssize_t first, Py_ssize_t last)
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t)
    cpdef list bounds(self, Py_ssize_t first, Py_ssize_t last)
    @cython.locals(ends="const unsigned long long[:]", low=Py_ssize_t, high=Py_ssize_t, until=Py_ssize_t, middle=Py_ssize_t)
    cpdef Py_ssize_t fit(self, Py_ssize_t first, Py_ssize_t last, Py_ssize_t maxBytes) except -1
    cpdef Py_ssize_t add(self, int kind, bytes data) except -1
    @cython.locals(index=Py_ssize_t, size=Py_ssize_t, piece=bytes)
    cpdef Py_ssize_t measure(self, Py_ssize_t first, Py_ssize_t last) except? -1
    @cython.locals(start=Py_ssize_t, count=Py_ssize_t, index=Py_ssize_t, begin=Py_ssize_t, end=Py_ssize_t, piece=bytes)
    cpdef Py_ssize_t copyTo(self, PackedSegments rows, Py_ssize_t first, Py_ssize_t last) except -1
    cdef Py_ssize_t _start(self, Py_ssize_t number) except? -1
    @cython.locals(count=Py_ssize_t, end=Py_ssize_t, ends=list, piece=bytes)
    cdef _pack(self)


cpdef bytes joinText(EntryBuffer buffer, Py_ssize_t first, Py_ssize_t last)
