# Tests that are no cmocka programs: the lint, the kernels of another processor, and what other
# folders bring. All run from a plain source tree; none writes into it.

find_package(Python3 COMPONENTS Interpreter)
find_program(QV_BASH bash)
find_program(QV_CXX NAMES c++ g++ clang++)
set(tools "${PROJECT_SOURCE_DIR}/tools")

# --- lint ---------------------------------------------------------------------------------------
# Object code is looked at as we would ship it, so without a sanitizer's additions.

function(qv_lint name)
  add_test(NAME lint_${name} COMMAND ${ARGN} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(lint_${name} PROPERTIES LABELS lint TIMEOUT 120 SKIP_RETURN_CODE 77)
endfunction()

if(Python3_FOUND)
  qv_lint(layers "${Python3_EXECUTABLE}" "${tools}/lint_layers.py")
  qv_lint(banned "${Python3_EXECUTABLE}" "${tools}/lint_banned.py")
  qv_lint(size "${Python3_EXECUTABLE}" "${tools}/lint_size.py")
  qv_lint(docs "${Python3_EXECUTABLE}" "${tools}/lint_docs.py")
  set(cxx "")
  if(QV_CXX)
    set(cxx --cxx "${QV_CXX}")
  endif()
  qv_lint(headers "${Python3_EXECUTABLE}" "${tools}/lint_headers.py" "${PROJECT_SOURCE_DIR}"
    --cc "${CMAKE_C_COMPILER}" ${cxx} --include "${PROJECT_BINARY_DIR}/include")
  qv_lint(itself "${Python3_EXECUTABLE}" "${CMAKE_CURRENT_SOURCE_DIR}/lint/test_lint.py")
else()
  message(WARNING "No Python 3: the lint is not among the tests")
endif()

file(GLOB pages CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/man/*.[1-8]")
if(pages)
  qv_lint(man "${tools}/lint_man.sh" ${pages})
endif()

if(QV_SANITIZE STREQUAL "" AND TARGET quiver_static)
  qv_lint(symbols "${tools}/lint_symbols.sh" $<TARGET_FILE:quiver_static> $<TARGET_FILE:quiver_shared>)
endif()

# Whether the compiler kept the prefetches shows only in optimised code.
if(QV_SANITIZE STREQUAL "" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  foreach(kernels dist_avx2 dist_avx512 codes_avx2 codes_avx512vnni narrow_avx2 narrow_avx512)
    set(source "${PROJECT_SOURCE_DIR}/src/simd/${kernels}.c")
    get_source_file_property(flags "${source}" TARGET_DIRECTORY qv_simd_objects COMPILE_OPTIONS)
    add_library(lint_${kernels} OBJECT "${source}")
    target_include_directories(lint_${kernels} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/include")
    target_link_libraries(lint_${kernels} PRIVATE qv_flags)
    target_compile_options(lint_${kernels} PRIVATE ${flags} -O3)
    target_compile_definitions(lint_${kernels} PRIVATE NDEBUG)
  endforeach()
  qv_lint(prefetch_avx2 "${tools}/check_prefetch.sh" -n 16 $<TARGET_OBJECTS:lint_dist_avx2>)
  qv_lint(prefetch_avx512 "${tools}/check_prefetch.sh" -n 24 $<TARGET_OBJECTS:lint_dist_avx512>)
  qv_lint(prefetch_codes_avx2 "${tools}/check_prefetch.sh" -n 12 $<TARGET_OBJECTS:lint_codes_avx2>)
  qv_lint(prefetch_codes_avx512 "${tools}/check_prefetch.sh" -n 12 $<TARGET_OBJECTS:lint_codes_avx512vnni>)
  qv_lint(prefetch_narrow_avx2 "${tools}/check_prefetch.sh" -n 8 -x cos_ $<TARGET_OBJECTS:lint_narrow_avx2>)
  qv_lint(prefetch_narrow_avx512 "${tools}/check_prefetch.sh" -n 8 -x cos_ $<TARGET_OBJECTS:lint_narrow_avx512>)
endif()

# --- the kernels of 64-bit ARM, under an emulator ------------------------------------------------

add_test(NAME neon COMMAND "${tools}/check_neon.sh")
set_tests_properties(neon PROPERTIES LABELS neon TIMEOUT 600 SKIP_RETURN_CODE 77)

# --- other folders -------------------------------------------------------------------------------

if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/cli/CMakeLists.txt")
  add_subdirectory(cli)
endif()
add_subdirectory(crash)
add_subdirectory(kill)
add_subdirectory(exhaustion)
add_subdirectory(corruption)
add_subdirectory(golden)
