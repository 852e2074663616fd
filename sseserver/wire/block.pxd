cpdef bytes writeBlock(bytes data, bytes type=*, bytes id=*, retry=*)
cpdef bytes dataLines(bytes data)
cpdef bytes continued(bytes data)
