set(json_sources ${PROJECT_SOURCE_DIR}/lua/json.c
    ${PROJECT_SOURCE_DIR}/lua/json_write.c)
lunaq_test(test_json LABEL lua SOURCES test_json.c ${json_sources}
  LAYERS base LINKS PkgConfig::LUA)
lunaq_test(test_json_random LABEL lua SOURCES test_json_random.c ${json_sources}
  LAYERS base LINKS PkgConfig::LUA PkgConfig::CJSON)
foreach(name test_json test_json_random)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/lua)
endforeach()
