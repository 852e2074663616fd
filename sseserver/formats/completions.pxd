from sseserver.formats.openai cimport OpenAIRendering


cdef class _CompletionsRendering(OpenAIRendering):
    cdef object _converter
