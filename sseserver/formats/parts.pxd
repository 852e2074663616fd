cimport cython

from sseserver.protocols.answerparts cimport PartWriter


cdef class PartTranslator:
    cdef bytes _before
    cdef bytes _behind
    cdef object _reader
    cdef PartWriter _writer

    @cython.locals(chunk=bytes, text=bytes)
    cpdef list translate(self, object kind, bytes data)
