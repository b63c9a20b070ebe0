# What `cmake --install` puts where: the library in both forms, its headers, the command, the manual
# pages, and what pkg-config and find_package() need. Everything is found relative to itself, so
# --prefix and DESTDIR may be chosen at installation.
if(NOT TARGET quiver_static)
  return()
endif()
include(CMakePackageConfigHelpers)

set(config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/quiver")

# Two export sets, since a consumer of the shared library shall not need what the static one links.
set_target_properties(quiver_shared PROPERTIES EXPORT_NAME quiver)
set_target_properties(quiver_static PROPERTIES EXPORT_NAME quiver_static)
foreach(kind shared static)
  install(TARGETS quiver_${kind} EXPORT quiver-${kind}-targets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  install(EXPORT quiver-${kind}-targets NAMESPACE quiver:: DESTINATION "${config_dir}")
endforeach()

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/quiver-config.cmake.in"
  "${PROJECT_BINARY_DIR}/cmake/quiver-config.cmake" INSTALL_DESTINATION "${config_dir}"
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/cmake/quiver-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/cmake/quiver-config.cmake"
  "${PROJECT_BINARY_DIR}/cmake/quiver-config-version.cmake" DESTINATION "${config_dir}")

file(RELATIVE_PATH QV_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" QV_PC_PREFIX "${QV_PC_PREFIX}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/quiver.pc.in" "${PROJECT_BINARY_DIR}/cmake/quiver.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/cmake/quiver.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

file(GLOB headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/quiver/*.h")
install(FILES ${headers} "${PROJECT_BINARY_DIR}/include/quiver/version.h"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/quiver")

if(TARGET quiver_command)
  install(TARGETS quiver_command RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
foreach(section 1 3 5 7 8)
  file(GLOB pages CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/man/*.${section}")
  if(pages)
    install(FILES ${pages} DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}")
  endif()
endforeach()
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
