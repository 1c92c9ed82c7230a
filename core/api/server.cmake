# liblunaq-server: what runs tasks.  It has its own copy of the layers that
# liblunaq hides; the two share public functions only.
lunaq_library(lunaq_server
  SOURCES server_api.c
  LAYERS base task broker redis redis_uv loop db runtime lua
  LINKS lunaq::lunaq PkgConfig::UV PkgConfig::HIREDIS PkgConfig::CRYPTO
        PkgConfig::PQ PkgConfig::LUA PkgConfig::CJSON m)
set_target_properties(lunaq_server PROPERTIES OUTPUT_NAME lunaq-server
                      EXPORT_NAME server)
add_library(lunaq::server ALIAS lunaq_server)
