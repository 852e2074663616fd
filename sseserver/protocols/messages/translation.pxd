cimport cython

from sseserver.protocols.chatcompletions.textframe cimport TextFrame


cdef class MessagesTranslator:
    cdef Py_ssize_t _blocks
    cdef dict _calls
    cdef TextFrame _frame
    cdef bytes _head
    cdef object _id
    cdef bint _isStarted
    cdef object _model
    cdef object _open
    cdef object _reader
    cdef object _reason
    cdef bint _refuses
    cdef object _usage

    cpdef bint skip(self, bytes text, Py_ssize_t count) except -1
    @cython.locals(head=bytes)
    cpdef list writeTexts(self, list texts)
    cpdef list findTexts(self, bytes data, list bounds)
    @cython.locals(text=bytes, quoted=bytes, events=list)
    cpdef list translate(self, object kind, bytes data)
