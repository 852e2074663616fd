cimport cython

from sseserver.streams.account cimport Account
from sseserver.streams.buffer cimport EntryBuffer
from sseserver.streams.log cimport StreamLog


cdef class KeptStream:
    # Members that each token touches stand together.
    cdef public Py_ssize_t last
    cdef public object note
    cdef public bint leaving
    cdef public object ended
    cdef public Py_ssize_t first
    cdef StreamLog _open
    cdef object _read

    cdef public Account account
    cdef public object created
    cdef public list deleting
    cdef public object epoch
    cdef public list finding
    cdef public object name
    cdef public bint published
    cdef public object question
    cdef public Py_ssize_t size
    cdef public Py_ssize_t tokensBefore
    cdef public bint trimmedCR


cdef class BufferedEntries:
    cdef public KeptStream stream
    cdef public StreamLog log
    cdef public EntryBuffer buffer
    cdef public Py_ssize_t first
    cdef public Py_ssize_t last


cdef class PendingChanges:
    cdef public list created
    cdef public list deletions
    cdef public dict dirty
    cdef public dict trimmed

    @cython.locals(entries=BufferedEntries, count=Py_ssize_t)
    cdef _takeEntries(self, group)


@cython.locals(entries=BufferedEntries, streamLog=StreamLog)
cpdef addChanges(list added, double now, list changes)
@cython.locals(entries=BufferedEntries, stream=KeptStream, streamLog=StreamLog)
cpdef commitEntries(list added, double now)
