# Flags of every target of ours, in one interface target; nothing edits CMAKE_C_FLAGS.
add_library(qv_flags INTERFACE)
target_compile_definitions(qv_flags INTERFACE _GNU_SOURCE QV_BUILDING
  $<$<NOT:$<CONFIG:Debug>>:NDEBUG>
  $<$<BOOL:${QV_PLANTED_BUGS}>:QV_PLANTED_BUGS>)
target_compile_options(qv_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wcast-qual -Wpointer-arith -Wwrite-strings
  -Wimplicit-fallthrough -Wno-gnu-zero-variadic-macro-arguments
  -fno-omit-frame-pointer -fno-math-errno -fstack-protector-strong
  $<$<BOOL:${QV_WERROR}>:-Werror>
  $<$<C_COMPILER_ID:Clang>:-Wno-pre-c2x-compat>)
if(NOT QV_SANITIZE STREQUAL "")
  target_compile_options(qv_flags INTERFACE -fsanitize=${QV_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(qv_flags INTERFACE -fsanitize=${QV_SANITIZE})
else()
  target_compile_options(qv_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
endif()
