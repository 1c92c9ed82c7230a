set(json_sources ${PROJECT_SOURCE_DIR}/lua/json.c
    ${PROJECT_SOURCE_DIR}/lua/json_write.c)
lunaq_test(test_json LABEL lua SOURCES test_json.c ${json_sources}
  LAYERS base LINKS PkgConfig::LUA)
lunaq_test(test_json_random LABEL lua SOURCES test_json_random.c ${json_sources}
  LAYERS base LINKS PkgConfig::LUA PkgConfig::CJSON)
foreach(name test_json test_json_random)
  target_include_directories(${name} PRIVATE
    $<TARGET_PROPERTY:lunaq_lua,INTERFACE_INCLUDE_DIRECTORIES>)
endforeach()

# The modules json and db, in the real host; db on PostgreSQL and SQLite.
foreach(name json_module db)
  lunaq_test(test_lua_${name} LABEL lua SOURCES test_lua_${name}.c world.c
             ${PROJECT_SOURCE_DIR}/tests/support/postgres_server.c
             ${PROJECT_SOURCE_DIR}/tests/support/temp_folder.c
    LAYERS lua db task loop broker base
    LINKS PkgConfig::LUA PkgConfig::CJSON PkgConfig::CRYPTO PkgConfig::UV
          PkgConfig::PQ PkgConfig::SQLITE m)
endforeach()
