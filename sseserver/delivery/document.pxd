from sseserver.delivery.response cimport ResponseProducer


cdef class DocumentProducer(ResponseProducer):
    cdef object _onEnd
    cdef object _steps
