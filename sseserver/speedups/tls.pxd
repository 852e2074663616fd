cdef class TLSServer:
    cdef object _context
    cdef bytes _protocol
    cdef bytes _refusal
    cdef public object incoming
    cdef public object outgoing

    cpdef bytes refuse(self, bytes data)
    cpdef accept(self)


cdef class OverTCP:
    cdef public object transport


cdef class TLSConnection(OverTCP):
    # The fields that each token touches stand first.
    cdef object _tls
    cdef TLSServer _server
    cdef public bint isOpen

    cdef public object body
    cdef public bint disconnecting
    cdef public object protocol
    cdef bytes _early
    cdef bytes _hello
    cdef object _state

    cpdef bytes encrypt(self, bytes data)
    cdef bint _begin(self, bytes data) except -1
    cdef bint _receive(self, list pieces) except -1
    cdef _flush(self)
    cdef _writeEarly(self)
    cdef _shut(self)
    cdef _end(self)
    cdef _lose(self)
    cdef _forbid(self)
    cdef bint _isLost(self) except -1
    cdef _step(self, state)
