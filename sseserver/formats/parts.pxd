cimport cython

from sseserver.protocols.answerparts cimport AnswerParts


cdef class PartTranslator:
    cdef bytes _before
    cdef bytes _behind
    cdef AnswerParts _parts
    cdef object _reader

    @cython.locals(chunk=bytes, text=bytes)
    cpdef list translate(self, object kind, bytes data)
