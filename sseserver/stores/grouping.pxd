cimport cython

from sseserver.stores.groups cimport PendingChanges
from sseserver.streams.keeper cimport Keeper


cdef class GroupingKeeper(Keeper):
    cdef public PendingChanges pending
    cdef public object writer

    @cython.locals(dirty=dict)
    cpdef write(self, streamLog)
