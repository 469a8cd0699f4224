// The allow-list of jq's builtins. What is missing here and below has no use in a flow, or aborts the process (1.6's implode).
#include <algorithm>
#include <array>
#include <cctype>

#include "base/text.hpp"
#include "work/jq_syntax.hpp"

namespace ballast::work {
namespace {

constexpr std::string_view kAllowed =
    " IN/1 IN/2 INDEX/1 INDEX/2 acos/0 add/0 all/0 all/1 all/2 any/0 any/1 any/2 arrays/0 ascii_downcase/0 ascii_upcase/0"
    " asin/0 atan/0 atan2/2 booleans/0 bsearch/1 capture/1 capture/2 cbrt/0 ceil/0 combinations/0 combinations/1 contains/1"
    " copysign/2 cos/0 cosh/0 del/1 delpaths/1 empty/0 endswith/1 error/0 error/1 exp/0 exp10/0 exp2/0 explode/0 fabs/0 false/0"
    " finites/0 first/0 first/1 flatten/0 flatten/1 floor/0 fma/3 fmax/2 fmin/2 fmod/2 from_entries/0 fromdate/0"
    " fromdateiso8601/0 fromjson/0 fromstream/1 getpath/1 gmtime/0 group_by/1 gsub/2 gsub/3 has/1 hypot/2 in/1 index/1"
    " indices/1 infinite/0 inside/1 isempty/1 isfinite/0 isinfinite/0 isnan/0 isnormal/0 iterables/0 join/1 keys/0"
    " keys_unsorted/0 last/0 last/1 leaf_paths/0 length/0 limit/2 log/0 log10/0 log1p/0 log2/0 ltrimstr/1 map/1 map_values/1"
    " match/1 match/2 max/0 max_by/1 min/0 min_by/1 mktime/0 modf/0 nan/0 nearbyint/0 normals/0 not/0 nth/1 nth/2 null/0 nulls/0"
    " numbers/0 objects/0 path/1 paths/0 paths/1 pow/2 range/1 range/2 range/3 recurse/0 recurse/1 recurse/2 repeat/1 reverse/0"
    " rindex/1 rint/0 round/0 rtrimstr/1 scalars/0 scan/1 select/1 setpath/2 sin/0 sinh/0 sort/0 sort_by/1 split/1 split/2"
    " splits/1 splits/2 sqrt/0 startswith/1 strftime/1 strings/0 strptime/1 sub/2 sub/3 tan/0 tanh/0 test/1 test/2 to_entries/0"
    " todate/0 todateiso8601/0 tojson/0 tonumber/0 tostream/0 tostring/0 transpose/0 true/0 trunc/0 truncate_stream/1 type/0"
    " unique/0 unique_by/1 until/2 utf8bytelength/0 values/0 walk/1 while/2 with_entries/1 ";

constexpr std::string_view kFormats = " text json html uri csv tsv sh base64 base64d ";

struct Refused {
  std::string_view name;
  std::string_view why;
};
constexpr std::string_view kSecrets = "it reads the process's environment; declare what you need as an input";
constexpr std::string_view kStream = "a program has one input, which is \".\"";
constexpr std::string_view kClock = "a replay must give the same answer; take the time from an input";
constexpr std::string_view kZone = "it depends on the machine's time zone; use gmtime and strftime";
constexpr std::string_view kOutside = "it looks outside of the program";
constexpr std::string_view kStops = "it would stop the process; use error(\"message\")";
constexpr std::string_view kLog = "it writes to the log; put what you want to see in the output";
constexpr std::string_view kModules = "there are no modules; put the definition into the program";
constexpr std::string_view kAborts = "it can abort the process in libjq 1.6; build the string with + or join";
constexpr auto kRefused = std::to_array<Refused>({
    {"env", kSecrets}, {"input", kStream}, {"inputs", kStream}, {"input_filename", kStream}, {"input_line_number", kStream},
    {"now", kClock}, {"localtime", kZone}, {"strflocaltime", kZone}, {"get_jq_origin", kOutside}, {"get_prog_origin", kOutside},
    {"get_search_list", kOutside}, {"builtins", kOutside}, {"halt", kStops}, {"halt_error", kStops}, {"debug", kLog},
    {"stderr", kLog}, {"import", kModules}, {"include", kModules}, {"module", kModules}, {"modulemeta", kModules},
    {"implode", kAborts}, {"__loc__", kOutside}});

// Names that newer releases of jq have, with what says the same in 1.6.
constexpr auto kNewer = std::to_array<Refused>({
    {"ascii", "use ascii_downcase or ascii_upcase"}, {"ltrimstr", "ltrimstr(\"prefix\") takes one argument"},
    {"trim", "use sub(\"^\\\\s+\"; \"\") | sub(\"\\\\s+$\"; \"\")"}, {"ltrim", "use sub(\"^\\\\s+\"; \"\")"},
    {"rtrim", "use sub(\"\\\\s+$\"; \"\")"}, {"toarray", "use if type == \"array\" then . else [.] end"},
    {"have_literal_numbers", "pass exact numbers as strings"}, {"pick", "use {a: .a}"}, {"debug", kLog},
    {"getpath", "getpath([\"a\", \"b\"]) takes one argument"}, {"splits", "splits(\"regex\") takes one argument"}});

std::string_view reason(std::span<const Refused> table, std::string_view name) {
  const auto found = std::ranges::find(table, name, &Refused::name);
  return found == table.end() ? std::string_view{} : found->why;
}

}  // namespace

bool jq_format_allowed(std::string_view name) {
  return kFormats.find(" " + std::string(name) + " ") != std::string_view::npos;
}

bool jq_reserved(std::string_view name) { return name.starts_with('_') || !reason(kRefused, name).empty(); }

std::string jq_refusal(std::string_view name, std::size_t arity) {
  const auto call = std::string(name) + "/" + std::to_string(arity);
  if (kAllowed.find(" " + call + " ") != std::string_view::npos) return {};
  if (const auto why = reason(kRefused, name); !why.empty()) return std::string(name) + " is not allowed here: " + std::string(why);
  const auto same = kAllowed.find(" " + std::string(name) + "/");
  if (same != std::string_view::npos) {
    auto rest = kAllowed.substr(same + 1);
    return std::string(name) + " does not take " + std::to_string(arity) + " arguments: use " + std::string(take_until(rest, ' '));
  }
  if (const auto why = reason(kNewer, name); !why.empty()) return "jq 1.6 has no " + std::string(name) + ": " + std::string(why);
  std::vector<std::string_view> names;
  for (auto entry : split(trim(kAllowed), ' ')) names.push_back(take_until(entry, '/'));
  const auto near = nearest_name(name, names);
  return "there is no function " + std::string(name) + (near.empty() ? ": define it with def, or see the list of functions in docs/flows.md"
                                                                     : "; did you mean " + std::string(near) + "?");
}

}  // namespace ballast::work
