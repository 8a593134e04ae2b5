"""Word lists of the guards: opposites, units, numbers, names, what counts as filler."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP = _words("""
a an the this that these those is are was were be been being am do does did doing have has had having
i me my we us our you your he him his she her it its they them their one
and or but if so as of in on at to for from by with about into onto over under than then there here
can could will would shall should may might must what which who whom whose when where why how
please just some any also too very really much many more most get got
's s t m re ve ll d
""")
FILLER = _words("""
please kindly hi hello hey thanks thank tell know explain want wondering wonder quick question ok okay well so
actually basically exactly really simply just also again good best way ways possible currently someone people
person reason reasons thing things give show let help useful tip tips mean means meaning definition method methods
anyone anybody someone ever major main various several different
""")
"""Words that a longer wording of the same question may hold more of."""

_COUNTED = """
zero|_|two couple twice double both pair|three thrice triple|four|five|six|seven|eight|nine|ten|eleven
|twelve dozen|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty
"""  # "one" is mostly a pronoun, so it counts as no number
_TENS = "thirty forty fifty sixty seventy eighty ninety hundred"
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth"
NUMBERS = (
    {
        word: str(value)
        for value, words in enumerate(_COUNTED.split("|"))
        for word in words.split()
        if word != "_"
    }
    | {word: str(value) for value, word in zip(range(30, 101, 10), _TENS.split(), strict=True)}
    | {"thousand": "1000", "million": "1000000", "billion": "1000000000", "half": "1/2", "quarter": "1/4"}
    | {
        word: f"{value}{'st' if value == 1 else 'nd' if value == 2 else 'rd' if value == 3 else 'th'}"
        for value, word in enumerate(_ORDINALS.split(), start=1)
    }
)
"""Number words in digits."""

_UNITS = """
mm millimeter millimetre millimeters millimetres|cm centimeter centimetre centimeters centimetres
m meter metre meters metres|km kilometer kilometre kilometers kilometres|mi mile miles|yd yard yards
ft foot feet|in. inch inches|mg milligram milligrams|g gram grams|kg kilo kilos kilogram kilograms
lb lbs pound pounds|oz ounce ounces|ton tons tonne tonnes|ml milliliter milliliters millilitre millilitres
l liter litre liters litres|gallon gallons|pint pints|cup cups|tbsp tablespoon tablespoons|tsp teaspoon teaspoons
c celsius centigrade|f fahrenheit|kelvin|sec secs second seconds|min mins minute minutes|hr hrs hour hours
day days daily|week weeks weekly|month months monthly|year years yearly annual annually|decade decades|century centuries
bit bits|byte bytes|kb kilobyte kilobytes|mb megabyte megabytes|gb gigabyte gigabytes|tb terabyte terabytes
mph|kph kmh|knots|watt watts w|kw kilowatt kilowatts|volt volts v|amp amps|hz hertz|mhz|ghz|calorie calories kcal
joule joules|percent % percentage|dollar dollars usd $|euro euros eur €|sterling gbp £|yen jpy ¥|rupee rupees inr ₹
yuan rmb cny|franc francs chf|bitcoin btc|degree degrees|acre acres|hectare hectares
"""
UNITS = {
    word: group.split()[0]
    for group in _UNITS.replace("\n", "|").split("|")
    if group
    for word in group.split()
}
ALWAYS_UNITS = frozenset(UNITS) - _words("""
m g l c f w v in. min sec second amp bit foot yard cup pound
day days week weeks month months year years decade decades century centuries degree degrees
""")
"""Those that are a unit even without a number before them."""

MONTHS = {
    word: words.split()[0]
    for words in [
        "january jan",
        "february feb",
        "march",
        "april apr",
        "june jun",
        "july jul",
        "august aug",
        "september sept sep",
        "october oct",
        "november nov",
        "december dec",
        "monday mon",
        "tuesday tue tues",
        "wednesday wed",
        "thursday thu thurs",
        "friday fri",
        "saturday sat",
        "sunday sun",
        "christmas xmas",
        "easter",
        "ramadan",
        "thanksgiving",
        "halloween",
        "spring",
        "summer",
        "autumn",
        "winter",
        "morning",
        "noon",
        "afternoon",
        "evening",
        "night",
        "midnight",
        "am",
        "pm",
    ]
    for word in words.split()
}
del MONTHS["am"], MONTHS["sun"], MONTHS["march"]  # mostly other words

NEGATORS = _words("""
not no never none nobody nothing nowhere neither nor cannot without hardly barely scarcely lack lacks lacking
fail fails failed failing refuse refuses refused avoid avoids avoiding prevent prevents preventing except excluding
excludes exclude unless
""")
RESTRICTORS = _words(
    "only except unless without instead besides excluding solely exclusively alone else other another"
)

_OPPOSITES = """
increase increases increased increasing raise raises raising grow grows boost|decrease decreases decreased decreasing reduce reduces reducing lower lowers lowering shrink cut
enable enables enabled enabling activate activates activated activating activation|disable disables disabled disabling deactivate deactivates deactivated deactivating deactivation
before prior earlier|after following later
buy buys buying bought purchase purchases purchasing|sell sells selling sold sale
open opens opened opening|close closes closed closing shut
start starts started starting begin begins beginning launch|stop stops stopped stopping end ends ended ending finish finishes quit
add adds added adding insert inserts append|remove removes removed removing delete deletes deleted deleting drop erase subtract
install installs installing installed|uninstall uninstalls uninstalling uninstalled
upload uploads uploading|download downloads downloading
import imports importing|export exports exporting
send sends sending sent|receive receives receiving received
lend lends lending|borrow borrows borrowing
give gives giving gave|take takes taking took
push pushes|pull pulls
win wins winning won|lose loses losing lost
gain gains gaining gained|lose loses losing lost
pass passes passing passed|fail fails failing failed
accept accepts accepted accepting approve approved|reject rejects rejected rejecting decline declines declined refuse deny denied
allow allows allowed allowing permit permits permitted|forbid forbids forbidden prohibit prohibited ban bans banned block blocks blocked deny prevent
lock locks locked locking|unlock unlocks unlocked unlocking
encrypt encrypts encryption encrypting encode encoding|decrypt decrypts decryption decrypting decode decoding
connect connects connected connecting|disconnect disconnects disconnected disconnecting
subscribe subscribes subscribing|unsubscribe unsubscribes unsubscribing cancel cancels
login signin|logout signout
deposit deposits depositing|withdraw withdraws withdrawing withdrawal
arrive arrives arriving arrival arrivals|depart departs departing departure departures leave leaves leaving
hire hires hiring|fire fires firing dismiss
create creates creating created make|destroy destroys destroying delete deleting
show shows showing display|hide hides hiding hidden
turn-on switch-on|turn-off switch-off
inside indoor indoors|outside outdoor outdoors
up upper above|down below beneath
left|right
top|bottom
front|back rear behind
north northern|south southern
east eastern|west western
high higher highest|low lower lowest
big bigger biggest large larger largest great|small smaller smallest little tiny
long longer longest|short shorter shortest brief
tall taller tallest|short shorter shortest
fast faster fastest quick quicker quickest|slow slower slowest
hot hotter hottest warm warmer|cold colder coldest cool cooler
old older oldest elderly|young younger youngest new newer newest
new newer newest modern|old older oldest ancient used
good better best|bad worse worst poor
best better|worst worse
easy easier easiest simple simpler|hard harder hardest difficult complex
cheap cheaper cheapest inexpensive affordable|expensive pricier costly dear
rich richer richest wealthy|poor poorer poorest
strong stronger strongest|weak weaker weakest
more most|less least fewer fewest
max maximum maximal maximize maximise most|min minimum minimal minimize minimise least
at-least|at-most
more-than|less-than fewer-than
first earliest|last latest final
next upcoming|previous last past
always ever|never
all every each everyone everybody entire|none some few nobody
many|few
true|false
correct right|incorrect wrong
safe safely|dangerous unsafe harmful risky
legal legally lawful|illegal illegally unlawful
public publicly|private privately
male man men boy boys husband father son brother|female woman women girl girls wife mother daughter sister
mother mothers mom|father fathers dad
son sons|daughter daughters
child children kid kids baby babies toddler|adult adults parent parents senior seniors
student students pupil|teacher teachers professor
employee employees worker|employer employers boss
buyer buyers customer|seller sellers vendor
doctor doctors|patient patients
cat cats kitten|dog dogs puppy
advantage advantages pros benefit benefits upside|disadvantage disadvantages cons drawback drawbacks downside
cause causes|effect effects consequence consequences
problem problems|solution solutions
question questions|answer answers
input inputs|output outputs
source origin|destination target
client clients|server servers
profit profits|loss losses
income revenue|expense expenses spending
asset assets|liability liabilities
supply|demand
credit|debit
gross|net
domestic national local|international foreign global
day daytime|night nighttime
morning|evening
birth born|death dead died
alive|dead
love loves like likes|hate hates dislike dislikes
attract|repel
positive|negative
plus|minus
multiply|divide
ascending|descending
horizontal horizontally|vertical vertically
row rows|column columns
even|odd
single|married
singular|plural
active|passive
temporary temporarily|permanent permanently
static|dynamic
mandatory required compulsory|optional voluntary
include includes including included with|exclude excludes excluding excluded without
with|without
full|empty
present|absent
wet|dry
light|dark
light|heavy
hard|soft
raw|cooked
vegan vegetarian|meat
stay remain|leave go
improve improves improving|worsen worsens
support supports supporting pro|oppose opposes against anti
agree agrees|disagree disagrees
succeed success successful|fail failure unsuccessful
appear appears|disappear disappears
attach|detach
mount|unmount
compress|decompress extract
freeze|thaw melt unfreeze
upgrade upgrades upgrading|downgrade downgrades downgrading
forward|backward backwards reverse
read reading|write writing
"""
OPPOSITES: dict[str, tuple[tuple[int, int], ...]] = {}
"""Word -> the axes it stands on, each with its side."""
for _axis, _line in enumerate(line for line in _OPPOSITES.strip().splitlines()):
    for _side, _names in enumerate(_line.split("|")):
        for _word in _names.split():
            OPPOSITES[_word] = (*OPPOSITES.get(_word, ()), (_axis, _side))

NAMES = _words("""
afghanistan albania algeria argentina armenia australia austria bangladesh belgium bolivia brazil bulgaria cambodia
canada chile china colombia croatia cuba cyprus czechia denmark ecuador egypt england estonia ethiopia europe finland
france georgia germany ghana greece greenland hungary iceland india indonesia iran iraq ireland israel italy jamaica
japan jordan kenya korea kuwait laos latvia lebanon libya lithuania luxembourg malaysia mali malta mexico moldova
mongolia morocco myanmar nepal netherlands holland nigeria norway oman pakistan panama paraguay peru philippines
poland portugal qatar romania russia rwanda scotland senegal serbia singapore slovakia slovenia somalia spain sudan
sweden switzerland syria taiwan tanzania thailand tunisia turkey uganda ukraine uruguay usa uk uzbekistan venezuela
vietnam wales yemen zambia zimbabwe africa asia america antarctica
amsterdam athens atlanta baghdad bangkok barcelona beijing berlin boston brussels budapest cairo chicago copenhagen
dallas delhi detroit dubai dublin edinburgh florence geneva hamburg helsinki houston istanbul jakarta jerusalem
karachi kyiv kyoto lagos lima lisbon london madrid manchester manila melbourne miami milan montreal moscow mumbai
munich nairobi naples oslo ottawa paris philadelphia prague rome seattle seoul shanghai singapore stockholm sydney
tehran tokyo toronto vancouver venice vienna warsaw washington zurich california texas florida ontario quebec hawaii
english french german spanish italian portuguese russian chinese mandarin cantonese japanese korean arabic hindi urdu
turkish dutch swedish polish greek latin hebrew american british canadian australian indian mexican brazilian
christian muslim jewish hindu buddhist catholic protestant
python java javascript typescript rust golang ruby php perl scala kotlin swift haskell fortran matlab julia bash
sql mysql postgres postgresql sqlite mongodb redis oracle kafka docker kubernetes linux windows macos ubuntu android
ios iphone ipad react angular vue django flask rails spring numpy pandas pytorch tensorflow excel word powerpoint
google apple microsoft amazon facebook meta twitter instagram whatsapp tiktok youtube netflix tesla toyota honda ford
bmw samsung sony nokia intel amd nvidia paypal visa mastercard uber airbnb spotify linkedin reddit quora github
gitlab gmail outlook yahoo bing chrome firefox safari edge aws azure gcp
mercury venus earth mars jupiter saturn uranus neptune pluto moon sun
ibuprofen aspirin paracetamol acetaminophen tylenol advil insulin penicillin amoxicillin
""") - _words("georgia turkey edge word spring swift oracle visa meta sun ford apple uber java excel rails")

SAME_NAME = {
    "us": "usa", "u.s": "usa", "u.s.a": "usa", "america": "usa", "american": "usa", "u.k": "uk", "britain": "uk",
    "holland": "netherlands", "js": "javascript", "ts": "typescript", "golang": "go", "postgres": "postgresql",
    "nyc": "newyork",
}  # fmt: skip
