# The Lua host: runs, limits, sandbox, modules, load, reload.
foreach(name outcomes limits sandbox modules load reload hooks middleware groups
        schedule)
  if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/test_${name}.c)
    lunaq_test(test_lua_${name} LABEL lua
      SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${name}.c
              ${CMAKE_CURRENT_LIST_DIR}/world.c
      LAYERS lua db task loop broker base
      LINKS PkgConfig::LUA PkgConfig::CJSON PkgConfig::CRYPTO PkgConfig::UV
            PkgConfig::PQ PkgConfig::SQLITE m)
  endif()
endforeach()
