cimport cython

from sseserver.protocols.answerparts cimport AnswerParts


cdef class PartTranslator:
    cdef object _frame
    cdef AnswerParts _parts
    cdef object _reader

    @cython.locals(text=bytes)
    cpdef list translate(self, object kind, bytes data)
