from sseserver.protocols.answerparts cimport PartWriter


cdef class IDs:
    cdef public bytes epoch


cdef class RunWriter(PartWriter):
    cdef str _answer
    cdef IDs _ids
    cdef Py_ssize_t _number
    cdef str _parent
    cdef str _run
    cdef str _thread

    cpdef bytes makeDelta(self, str text)
