from sseserver.formats.rendering cimport EntryRendering


cdef class OpenAIRendering(EntryRendering):
    cdef object _before
    cdef object _behind
    cdef object _writer
