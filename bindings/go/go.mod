module strongroom

go 1.24
