from sseserver.protocols.answerparts cimport PartWriter


cdef class MessageWriter(PartWriter):
    cdef str _messageID
    cdef Py_ssize_t _sources

    cpdef bytes makeDelta(self, str text)
