# The weight-matrix kernels: sources, and the flags that each instruction set's file is compiled with.
set(CV_ENGINE_MATRIX_SOURCES cpu/isa.c cpu/acts.c cpu/matrix.c cpu/matrix_pack.c cpu/matmul_ref.c)
