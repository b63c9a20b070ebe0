# qv_embed(TARGET NAME FILE): the bytes of FILE as `const unsigned char NAME[]` and `const size_t NAME_n`
# in an object library. Made when the build is configured, and again when FILE changes.
function(qv_embed target name file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  file(READ "${file}" hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
  set(made "${PROJECT_BINARY_DIR}/embedded/${name}.c")
  file(CONFIGURE OUTPUT "${made}" CONTENT
    "#include <stddef.h>\nextern const unsigned char ${name}[];\nextern const size_t ${name}_n;\nconst unsigned char ${name}[] = {\n${bytes}};\nconst size_t ${name}_n = sizeof ${name};\n"
    @ONLY)
  target_sources(${target} PRIVATE "${made}")
endfunction()
