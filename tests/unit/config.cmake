# The configuration of the programs, and their manual pages.
foreach(name config config_rows config_text)
  lunaq_test(test_${name} LABEL unit SOURCES test_${name}.c config_world.c
    LAYERS config LINKS PkgConfig::LUA PkgConfig::CJSON m)
  target_compile_definitions(test_${name} PRIVATE
    LQ_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endforeach()
find_program(MANDOC mandoc)
if(MANDOC)
  file(GLOB pages ${PROJECT_SOURCE_DIR}/core/bin/man/*.[1-9])
  add_test(NAME manual_pages COMMAND ${MANDOC} -Tlint -Wwarning ${pages})
  set_tests_properties(manual_pages PROPERTIES LABELS unit)
endif()
