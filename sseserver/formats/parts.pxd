cimport cython

from sseserver.protocols.answerparts cimport AnswerParts
from sseserver.protocols.chatcompletions.textframe cimport TextFrame


cdef class PartTranslator:
    cdef TextFrame _frame
    cdef AnswerParts _parts
    cdef object _reader

    @cython.locals(text=bytes)
    cpdef list translate(self, object kind, bytes data)
