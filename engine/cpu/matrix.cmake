# The weight-matrix kernels: sources, and the flags that each instruction set's file is compiled with.
set(CV_ENGINE_MATRIX_SOURCES cpu/isa.c cpu/acts.c cpu/matrix.c cpu/matrix_pack.c cpu/matmul_ref.c)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND CV_ENGINE_MATRIX_SOURCES cpu/matmul_avx2.c cpu/matmul_avxvnni.c cpu/matmul_avx512.c
       cpu/matmul_float_avx512.c)
  set_source_files_properties(cpu/matmul_avx2.c PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
  set_source_files_properties(cpu/matmul_avxvnni.c PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c;-mavxvnni")
  set_source_files_properties(cpu/matmul_avx512.c PROPERTIES
    COMPILE_OPTIONS "-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vnni;-mfma;-mf16c")
  set_source_files_properties(cpu/matmul_float_avx512.c PROPERTIES COMPILE_OPTIONS "-mavx512f")
  set_source_files_properties(cpu/matrix.c PROPERTIES COMPILE_DEFINITIONS CV_HAVE_X86_KERNELS)
endif()
