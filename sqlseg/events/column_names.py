"""The names that shops give to the things canonical events speak of, in the order in which they are believed."""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Final

# Names are compared squashed: CustomerID, customer_id and "Customer ID" are all customerid.
NAMES: Final[Mapping[str, str]] = {
    "event_type": """
        eventtype event eventname action actiontype behavior behaviortype behaviour type activity
        interaction verb hittype ereignis aktion
    """,
    "user_id": """
        userid customeruniqueid customerid custid customer user uid clientid memberid visitorid
        fullvisitorid householdid householdkey household buyerid accountid shopperid personid customernumber
        customerno customerkey custkey customercode userpseudoid anonymousid distinctid profileid reviewerid
        loyaltyid cookieid deviceid client customeremail useremail email kundennummer kundennr kundenid
        kunde idclient numeroclient idcliente cliente
    """,
    "session_id": "sessionid session usersession visitid gasessionid sessid visit sitzung",
    "order_id": """
        orderid ordernumber orderno invoiceno invoice invoiceid invoicenumber transactionid transaction
        transid basketid basket receiptid receiptno receiptnumber receipt ticketid checkoutid purchaseid
        saleid billno billid order bestellnummer bestellnr bestellid auftragsnummer rechnungsnummer
        rechnungsnr belegnummer belegnr numerocommande commande pedido factura
    """,
    "event_id": """
        eventid eventuuid hitid logid messageid insertid orderlineid orderitemlineid lineid uuid reviewid
        rowid id
    """,
    "quantity": """
        quantity qty units pieces itemquantity orderquantity quantityordered numitems numberofitems
        unitssold menge anzahl stueck quantite cantidad
    """,
    "price": """
        unitprice price itemprice productprice priceperunit priceeach saleprice sellingprice
        unitsellingprice einzelpreis stueckpreis verkaufspreis preis prixunitaire prix preciounitario precio
    """,
    "total": """
        salesvalue linetotal lineamount totalprice totalamount extendedprice netamount amount salesamount
        sales revenue subtotal itemtotal grossamount paymentvalue total spend umsatz gesamtpreis betrag
        montant importe
    """,
    "discount": """
        discountamount discount retaildisc coupondisc couponmatchdisc linediscount totaldiscount rabatt
        remise descuento
    """,
    "item_id": """
        itemid productid skuid sku stockcode item product articleid articleno articlenumber article asin
        isbn productcode itemcode itemno upc ean gtin variantid goodsid contentid clothingid artikelnummer
        artikelnr artikelid artikel produktid produkt produit producto
    """,
    "category": """
        category categorycode categoryname itemcategory productcategory productcategoryname maincategory
        categoryid catid department departmentname dept productgroup producttype productfamily commodity
        classname subcategory warengruppe kategorie categorie categoria
    """,
    "text": """
        text searchterm searchquery query search keyword keywords reviewtext review reviewbody comment
        commentmessage suchbegriff
    """,
    "duration": """
        durationseconds duration dwelltime timeonpage timespent secondsonpage engagementtime
        engagementtimemsec durationms
    """,
    "ingested_at": "ingestedat loadedat insertedat receivedat updatedat modifiedat",
    "sequence": """
        clickorder clickno clicknumber sequence sequencenumber seq position step hitnumber eventnumber order
    """,
    "rating": "rating stars overall score",
    "name": """
        description productname itemname producttitle itemtitle productdescription
        artikelbezeichnung bezeichnung artikelname
    """,
    "event_time": """
        eventtime eventtimestamp eventdatetime timestamp ts datetime time occurredat orderpurchasetimestamp
        purchasetimestamp transactiontimestamp orderdatetime invoicedate orderdate purchasedate
        transactiondate transactiontime transdate saledate createdat orderedat servertime unixreviewtime
        reviewtime reviewdate visitdate eventdate date day zeitpunkt zeitstempel bestelldatum rechnungsdatum
        kaufdatum datum datecommande dateachat fecha
    """,
    "clock": """
        time timeofday transtime transactiontime eventtime ordertime saletime hour uhrzeit zeit stunde heure
        hora
    """,
    "year": "year jahr annee ano",
    "month": "month monat mois mes",
    "day": "day dayofmonth tag jour dia",
}

# What a shop's own words for events mean.
EVENT_TYPES: Final[Mapping[str, str]] = {
    "view": """
        view views pv pageview productview viewitem itemview viewproduct viewedproduct productviewed detail
        productdetail viewcontent click clk clicked browse visit page
    """,
    "search": "search searched query viewsearchresults sitesearch",
    "cart": "cart addtocart addedtocart addcart cartadd basket addtobasket productadded",
    "favorite": """
        favorite favourite fav like liked wish wishlist addtowishlist bookmark save collect addtofavorites
    """,
    "purchase": """
        purchase purchased buy bought transaction order ordered ordercompleted ordercreated
        checkoutcompleted sale sold paid conversion kauf bestellung
    """,
    "return": "return returned refund refunded productreturned orderrefunded retoure chargeback",
    "review": "review reviewed rating rate rated comment",
    "coupon": "coupon couponredeemed redeem redeemed redemption voucher",
}


@cache
def squashed(name: str) -> str:
    """Return a name without case, accents and anything that is neither letter nor digit.

    >>> squashed("Kunden-Nr."), squashed("CustomerID"), squashed("Stück")
    ('kundennr', 'customerid', 'stueck')
    """
    for umlaut, letters in {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"}.items():
        name = name.lower().replace(umlaut, letters)
    letters = unicodedata.normalize("NFKD", name)
    return re.sub(r"[^a-z0-9]", "", letters)


@cache
def names_of(target: str) -> tuple[str, ...]:
    """Return the squashed names of a target, the most telling first."""
    return tuple(NAMES[target].split())


def exact_rank(column: str, target: str) -> int | None:
    """Return how far down the list of a target's names a column's name stands, or None where it is not there."""
    known = names_of(target)
    return known.index(squashed(column)) if squashed(column) in known else None


def partial_rank(column: str, target: str) -> int | None:
    """Return the rank of the first of a target's longer names that a column's name contains.

    >>> partial_rank("buyer_customer_id", "user_id") is not None, partial_rank("color", "user_id")
    (True, None)
    """
    return next(
        (rank for rank, name in enumerate(names_of(target)) if len(name) >= 5 and name in squashed(column)), None
    )


def meaning_of(value: str) -> str | None:
    """Return the canonical event type that a shop's word stands for.

    >>> meaning_of("add_to_cart"), meaning_of("PV"), meaning_of("login")
    ('cart', 'view', None)
    """
    word = squashed(value)
    return next((kind for kind, words in EVENT_TYPES.items() if word in words.split()), None)


def plain_identifier(name: str) -> str:
    """Return an identifier as SQL writes it, in quotes only where it needs them.

    >>> plain_identifier("InvoiceNo"), plain_identifier("order"), plain_identifier("unit price")
    ('InvoiceNo', '"order"', '"unit price"')
    """
    is_plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in KEYWORDS
    return name if is_plain else '"' + name.replace('"', '""') + '"'


# What DuckDB 1.5 and 2.0 do not take everywhere as a bare name.
_KEYWORDS = """
    all analyse analyze and anti any array as asc asof asymmetric at authorization between bigint binary bit
    boolean both by case cast char character check coalesce collate collation column columns concurrently
    constraint create cross dec decimal default deferrable desc describe distinct do else end except exists
    extract false fetch float for foreign freeze from full generated glob group grouping grouping_id having
    ilike in initially inner inout int integer intersect interval into is isnull join lambda lateral leading
    left like limit map national natural nchar none not notnull null nullif numeric offset on only or order
    out outer overlaps overlay pivot pivot_longer pivot_wider placing position positional precision primary
    qualify real references returning right row select semi setof show similar smallint some struct substring
    summarize symmetric table tablesample then time timestamp to trailing treat trim true try_cast tuple
    union unique unpack unpivot using values varchar variadic verbose when where window with xmlattributes
    xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
"""
KEYWORDS: Final = frozenset(_KEYWORDS.split())
