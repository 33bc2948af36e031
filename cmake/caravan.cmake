# How a folder becomes a library and a test becomes a program. One way for all of them.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O3")

set(CARAVAN_SANITIZE "" CACHE STRING "sanitizers to build with: address,undefined or thread")
option(CARAVAN_LIBFUZZER "link the fuzz targets with libFuzzer (needs clang)" OFF)
option(CARAVAN_WERROR "warnings are errors" ON)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_definitions(_POSIX_C_SOURCE=200809L _DEFAULT_SOURCE CARAVAN_VERSION="${PROJECT_VERSION}")
# -ffp-contract=off: a multiply and an add become one rounding only where the code says fma. The promise that a split
# changes nothing rests on it.
add_compile_options(-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
                    -ffp-contract=off -fno-math-errno -g)
if(CARAVAN_WERROR)
  add_compile_options(-Werror)
endif()
include_directories(${CMAKE_SOURCE_DIR})
if(CARAVAN_SANITIZE)
  add_compile_options(-fsanitize=${CARAVAN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CARAVAN_SANITIZE})
endif()
if(CARAVAN_LIBFUZZER)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET libcrypto)

# cv_library(NAME SOURCES a.c b.c LIBS x y): the static library of one folder.
function(cv_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LIBS" ${ARGN})
  add_library(cv_${name} STATIC ${A_SOURCES})
  target_link_libraries(cv_${name} PUBLIC ${A_LIBS})
endfunction()

# cv_test(NAME SOURCES a.c LIBS x): a program of tests/ that ctest runs; it prints a line per case, exits 1 on a failure.
function(cv_test name)
  cmake_parse_arguments(A "" "" "SOURCES;LIBS;ARGS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE cv_check ${A_LIBS})
  add_test(NAME ${name} COMMAND ${name} ${A_ARGS})
endfunction()

# cv_fuzz(NAME SOURCES fuzz_x.c LIBS x CORPUS dir): with libFuzzer the target itself; always a replay of the corpus.
# The source defines LLVMFuzzerTestOneInput.
function(cv_fuzz name)
  cmake_parse_arguments(A "" "CORPUS" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_LIBS})
  if(CARAVAN_LIBFUZZER)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.c)
    add_test(NAME ${name}_replay COMMAND ${name} ${A_CORPUS})
  endif()
endfunction()
