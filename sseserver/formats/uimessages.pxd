from sseserver.formats.rendering cimport EntryRendering


cdef class _UIRendering(EntryRendering):
    pass
