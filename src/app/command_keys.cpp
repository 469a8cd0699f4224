#include <iostream>

#include "app/acts.hpp"
#include "app/table.hpp"
#include "app/terminal.hpp"
#include "base/text.hpp"
#include "server/key_changes.hpp"
#include "server/key_rows.hpp"

namespace ballast::app {

namespace {

struct Flags {
  AccessFlags access;
  std::string id, name, scopes = "call", models, team, user, feature, expires;
  bool all = false;
  json::object patch;                  // what `update` names
  std::string overlap = "0";
};

json::array list_of(std::string_view commas) {
  json::array list;
  if (!commas.empty())
    for (const auto item : split(commas, ',')) list.push_back(json::value(trim(item)));
  return list;
}

// Whoever may open the database.
server::KeyHand by_hand() { return {.actor = "command line", .now = SystemClock().wall()}; }

Result<json::value> create(Access& access, const Flags& f) {
  if (!f.expires.empty())
    if (auto at = parse_time(f.expires, "--expires"); !at) return fail(std::move(at.error()));
  if (auto scopes = gateway::scopes_from(f.scopes, "--scopes"); !scopes) return fail(std::move(scopes.error()));
  if (auto* db = access.database()) {
    gateway::KeyInfo info{.name = f.name, .team = f.team, .user = f.user, .feature = f.feature};
    info.scopes = *gateway::scopes_from(f.scopes, "--scopes");
    for (const auto& model : list_of(f.models)) info.models.emplace_back(model.get_string());
    if (!f.expires.empty()) info.expires = *parse_time(f.expires, "--expires");
    auto minted = server::create_key(*db, std::move(info), by_hand());
    if (!minted) return fail(std::move(minted.error()));
    return json::object{{"id", minted->stored.info.id}, {"name", f.name}, {"secret", minted->secret}};
  }
  json::object body{{"name", f.name}, {"scopes", list_of(f.scopes)}};
  if (!f.models.empty()) body["models"] = list_of(f.models);
  for (const auto& [name, value] : {std::pair("team", &f.team), {"user", &f.user}, {"feature", &f.feature}, {"expires", &f.expires}})
    if (!value->empty()) body[name] = *value;
  return access.call("POST", "/api/keys", body);
}

Result<json::value> list(Access& access, const Flags& f) {
  auto* db = access.database();
  if (!db) return access.call("GET", "/api/keys");
  const auto rows = db->read_now([&](store::Tx& tx) { return records::list_keys(tx, f.all); });
  if (!rows) return fail(rows.error());
  json::array keys;
  for (const auto& row : *rows) keys.push_back(server::key_json(row));
  return json::object{{"keys", std::move(keys)}};
}

Result<json::value> show(Access& access, const Flags& f) {
  if (auto* db = access.database()) {
    const auto row = db->read_now([&](store::Tx& tx) { return records::get_key(tx, f.id); });
    if (!row) return fail(row.error());
    return server::key_json(*row);
  }
  return access.call("GET", "/api/keys/" + net::percent_encode(f.id));
}

Result<json::value> update(Access& access, const Flags& f) {
  const auto change = server::key_change_from(f.patch);
  if (!change) return fail(ErrorCode::caller_invalid_request, change.error().message, "--" + change.error().field);
  if (f.patch.empty()) return fail(ErrorCode::caller_invalid_request, "say what to change, for example --models", "--name");
  auto* db = access.database();
  if (!db) return access.call("PATCH", "/api/keys/" + net::percent_encode(f.id), f.patch);
  const server::KeyHand hand = by_hand();
  const auto row = db->write_now([&](store::Tx& tx) { return server::change_key(tx, f.id, *change, hand); });
  if (!row) return fail(row.error());
  return server::key_json(*row);
}

Result<json::value> rotate(Access& access, const Flags& f) {
  const auto overlap = parse_duration(f.overlap, "--overlap");
  if (!overlap) return fail(overlap.error());
  if (*overlap > server::kLongestOverlap) return fail(ErrorCode::caller_invalid_request, "is above 30d", "--overlap");
  auto* db = access.database();
  if (!db)
    return access.call("POST", "/api/keys/" + net::percent_encode(f.id) + "/rotate",
                       json::object{{"overlap", std::chrono::ceil<std::chrono::seconds>(*overlap).count()}});
  const server::KeyHand hand = by_hand();
  auto rotated = db->write_now([&](store::Tx& tx) { return server::rotate_key(tx, f.id, *overlap, hand); });
  if (!rotated) return fail(rotated.error());
  json::object answer = server::key_json(rotated->row);
  answer["secret"] = rotated->secret;
  return answer;
}

Result<json::value> revoke(Access& access, const Flags& f) {
  auto* db = access.database();
  if (!db) return access.call("DELETE", "/api/keys/" + net::percent_encode(f.id));
  const server::KeyHand hand = by_hand();
  const auto done = db->write_now([&](store::Tx& tx) { return server::revoke_key(tx, f.id, hand); });
  if (!done) return fail(done.error());
  return json::object{{"id", f.id}, {"revoked", true}};
}

using Act = ActOf<Flags>;

void print(const json::value& answer, const Flags& f, Act act) {
  if (act == list) {
    const auto* rows = rows_of(answer);
    std::cout << (rows && !rows->empty() ? table(*rows) : "no keys\n");
  } else if (act == revoke) {
    std::cout << "revoked " << f.id << '\n';
  } else if (const auto* o = answer.if_object()) {
    for (const auto& [name, value] : *o)
      if (!plain(value).empty()) std::cout << fmt::format("{:<16} {}\n", one_line(name), one_line(plain(value)));
    if (act == create || act == rotate) std::cout << "The secret is shown this once; only its hash is kept.\n";
  }
}

}  // namespace

void add_keys(CLI::App& app, Run& run) {
  auto* command = app.add_subcommand("keys", "Make, list, change and revoke the keys of callers.");
  command->require_subcommand(1);
  auto flags = std::make_shared<Flags>();
  const auto add = [&](const char* name, const char* about, Act act) { return add_act(*command, run, flags, name, about, act, [flags, act](const json::value& answer) { print(answer, *flags, act); }); };
  auto* make = add("create", "Make a key and print its secret, once.", create);
  make->add_option("--name", flags->name, "Its name in records.")->required();
  make->add_option("--scopes", flags->scopes, "With commas: call, usage, read, work, approve, admin.")->capture_default_str();
  make->add_option("--models", flags->models, "What it may name, with commas; NAME* is a prefix. Default: everything.");
  make->add_option("--team", flags->team, "Its team.");
  make->add_option("--user", flags->user, "Every call of it is this user's.");
  make->add_option("--feature", flags->feature, "Every call of it is this feature's.");
  make->add_option("--expires", flags->expires, "From then on it is refused: 2027-01-01.");
  add("list", "List keys, without their secrets.", list)->add_flag("--all", flags->all, "Revoked ones too.");
  add("show", "Show one key.", show)->add_option("ID", flags->id, "key_…")->required();
  auto* change = add("update", "Change a key; what is not named stays.", update);
  change->add_option("ID", flags->id, "key_…")->required();
  for (const auto& [name, about] : {std::pair("name", "Its name in records."), {"scopes", "With commas: call, usage, read, work, approve, admin."},
                                    {"models", "What it may name, with commas; \"\" for everything."}, {"team", "Its team."},
                                    {"user", "Every call of it is this user's."}, {"feature", "Every call of it is this feature's."}})
    change->add_option_function<std::string>(fmt::format("--{}", name), [flags, name](const std::string& text) { flags->patch[name] = text; }, about);
  change->add_option_function<std::string>(
      "--expires", [flags](const std::string& text) { flags->patch["expires"] = text == "never" ? json::value(nullptr) : json::value(text); },
      "From then on it is refused: 2027-01-01, or never.");
  auto* turn = add("rotate", "Give a key another secret and print it, once.", rotate);
  turn->add_option("ID", flags->id, "key_…")->required();
  turn->add_option("--overlap", flags->overlap, "How long the old secret goes on: 1h, 7d (30d at most).")->capture_default_str();
  add("revoke", "Refuse a key from now on.", revoke)->add_option("ID", flags->id, "key_…")->required();
}

}  // namespace ballast::app
