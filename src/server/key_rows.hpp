// Keys between their rows (records/keys) and the ring that authenticates (gateway/keys).
#pragma once
#include <vector>

#include "base/json.hpp"
#include "gateway/keys.hpp"
#include "records/keys.hpp"
#include "store/database.hpp"

namespace ballast::server {

records::KeyRow row_of(const gateway::MintedKey& key);
Result<gateway::StoredKey> stored_of(const records::KeyRow& row);
json::object key_json(const records::KeyRow& row);

// Every unrevoked key. Blocking.
Result<std::vector<gateway::StoredKey>> load_keys(store::Database& db);

}  // namespace ballast::server
